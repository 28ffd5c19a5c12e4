mend(1, 'hash')
redis.call('HSET', KEYS[1], 'known', ARGV[1], 'record.done', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return mended
