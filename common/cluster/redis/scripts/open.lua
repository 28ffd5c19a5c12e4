-- Records live for one TTL after their last use: then the list forgets the job. Earlier counts are begun anew.
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
mend(1, 'zset')
mend(6, 'hash')
redis.call('UNLINK', KEYS[3], KEYS[4], KEYS[5])
redis.call('HSET', KEYS[6], 'known', ARGV[4], 'record.done', 0)
redis.call('PEXPIRE', KEYS[6], ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[6])
redis.call('ZADD', KEYS[1], ARGV[5], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[7])
return mended
