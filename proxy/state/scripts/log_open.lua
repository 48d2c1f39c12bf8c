-- Creates a log. ARGV: TTL, then the header's fields and values. Returns 0 if the id is taken.
if redis.call('EXISTS', KEYS[1], KEYS[2]) ~= 0 then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
-- Later writes use NOMKSTREAM: a log that the store has lost stays lost.
redis.call('XADD', KEYS[2], '0-1', 'start', '1')
keep(ARGV[1])
return 1
