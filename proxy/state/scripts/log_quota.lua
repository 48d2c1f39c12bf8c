-- The size of all logs together. KEYS[1] ids by age (sorted set), KEYS[2] bytes by id (hash; ''
-- holds their sum), KEYS[3] ids by expiry (sorted set).
-- ARGV: maximum of bytes, then for each log its id, its change in bytes, and its TTL.
-- Returns the ids whose events are to be dropped, oldest first.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local max_bytes = tonumber(ARGV[1])

local function set_bytes(id, bytes)
  local before = tonumber(redis.call('HGET', KEYS[2], id) or 0)
  redis.call('HSET', KEYS[2], id, bytes)
  return redis.call('HINCRBY', KEYS[2], '', bytes - before)
end

-- A write that needs no memory comes first: a full store would otherwise refuse this script.
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', '-inf')
local total = tonumber(redis.call('HGET', KEYS[2], '') or 0)
for i = 2, #ARGV, 3 do
  local id = ARGV[i]
  redis.call('ZADD', KEYS[1], 'NX', now, id)
  redis.call('ZADD', KEYS[3], now + tonumber(ARGV[i + 2]), id)
  local bytes = tonumber(redis.call('HGET', KEYS[2], id) or 0) + tonumber(ARGV[i + 1])
  total = set_bytes(id, math.max(0, bytes))
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 1000)) do
  total = set_bytes(id, 0)
  redis.call('HDEL', KEYS[2], id)
  redis.call('ZREM', KEYS[1], id)
  redis.call('ZREM', KEYS[3], id)
end
local dropped = {}
local at = 0
while total > max_bytes do
  local oldest = redis.call('ZRANGE', KEYS[1], at, at + 99)
  if #oldest == 0 then
    break
  end
  for _, id in ipairs(oldest) do
    if total > max_bytes and tonumber(redis.call('HGET', KEYS[2], id) or 0) > 0 then
      total = set_bytes(id, 0)
      dropped[#dropped + 1] = id
    end
  end
  at = at + 100
end
return dropped
