-- Between looking and counting nobody may end the unit or cancel its job; so the server does both in one step. The keys
-- of a job and of a unit lie in different hash slots: with a Redis Cluster, which is refused, this could not be.
if redis.call('EXISTS', KEYS[1]) == 1 then return {1, 0, 0, 0} end
if redis.call('EXISTS', KEYS[2]) == 1 then return {0, 1, 0, 0} end
local begun = redis.call('HINCRBY', KEYS[3], 'begun', 1)
local faults = redis.call('HGET', KEYS[3], 'faults')
redis.call('PEXPIRE', KEYS[3], ARGV[1])
return {0, 0, begun, tonumber(faults or 0)}
