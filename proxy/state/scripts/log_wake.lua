-- Interrupts a worker's blocking read. KEYS[1] the stream it reads besides logs; ARGV: its TTL.
-- XTRIM needs no memory and comes first, so that a full store accepts the rest, too.
redis.call('XTRIM', KEYS[1], 'MAXLEN', '=', 0)
redis.call('XADD', KEYS[1], '*', 'wake', '1')
return redis.call('PEXPIRE', KEYS[1], ARGV[1])
