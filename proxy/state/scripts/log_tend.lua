-- The producer's look at its log. ARGV: TTL, then header fields and values to set.
-- Returns whether it is there, whether it shall stop, how many read it, the first entry's id.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {0, 0, 0, ''}
end
keep(ARGV[1])
if #ARGV > 1 then
  redis.call('HSET', KEYS[1], unpack(ARGV, 2))
end
local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)
return {
  1, redis.call('HEXISTS', KEYS[1], 'stop'), redis.call('ZCOUNT', KEYS[3], now_ms(), '+inf'),
  first[1] and first[1][1] or '',
}
