-- The heartbeat before the list: who is listed has had one. The list goes by the server's clock, not a worker's.
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
mend(1, 'zset')
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
redis.call('ZADD', KEYS[1], string.format('%.6f', now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.6f', now - ARGV[4]))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return mended
