-- The list first: a unit that is listed without a record is one that nobody has sent yet.
mend(1, 'set')
mend(2, 'set')
mend(3, 'hash')
if redis.call('SADD', KEYS[1], ARGV[1]) == 1 then add(KEYS[3], ARGV[2] .. '.sent', ARGV[3]) end
if ARGV[6] == '1' then
  if redis.call('SREM', KEYS[2], ARGV[1]) == 1 then add(KEYS[3], ARGV[2] .. '.done', '-' .. ARGV[3]) end
  redis.call('UNLINK', KEYS[4], KEYS[5])
end
redis.call('SET', KEYS[6], ARGV[5], 'PX', ARGV[4])
for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], ARGV[4]) end
return mended
