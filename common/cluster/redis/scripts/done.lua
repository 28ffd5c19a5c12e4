-- Counted once, however often it is done.
redis.call('SET', KEYS[3], ARGV[5], 'PX', ARGV[4])
mend(1, 'set')
mend(2, 'hash')
redis.call('UNLINK', KEYS[4])
if redis.call('SADD', KEYS[1], ARGV[1]) == 1 then add(KEYS[2], ARGV[2] .. '.done', ARGV[3]) end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return mended
