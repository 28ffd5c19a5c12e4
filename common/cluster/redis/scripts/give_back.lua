-- Attempts that were forgotten meanwhile are not taken back.
local begun = redis.call('HGET', KEYS[1], 'begun')
if begun and tonumber(begun) > 0 then
  redis.call('HINCRBY', KEYS[1], 'begun', -1)
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return 0
