-- Drops all entries of a log but the last: the latest batch of a running log, or the end.
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
if not last[1] then
  return 0
end
return redis.call('XTRIM', KEYS[2], 'MINID', '=', last[1][1])
