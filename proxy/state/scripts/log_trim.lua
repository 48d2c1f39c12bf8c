-- Drops all events but the latest batch of a log that runs; of one that has ended, all.
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
if not last[1] then
  return 0
end
return redis.call('XTRIM', KEYS[2], 'MINID', '=', last[1][1])
