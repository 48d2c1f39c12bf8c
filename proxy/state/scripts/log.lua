-- Functions shared by the scripts of the stream logs. All three keys carry the same hash tag:
-- KEYS[1] header (hash), KEYS[2] events (stream), KEYS[3] readers (sorted set, id by its lease's end).
-- Times are whole milliseconds.
local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function belongs_to(owner)
  return redis.call('HGET', KEYS[1], 'owner') == owner
end

local function first_and_last()
  return redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 2),
    redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
end

local function lease(reader, ttl, now)
  redis.call('ZADD', KEYS[3], now + ttl, reader)
  redis.call('PEXPIRE', KEYS[3], 4 * ttl)
end

-- A full store refuses a write that needs memory, unless the script has written before (Redis
-- manual, "maxmemory"). A small write that must succeed therefore follows one that needs none.
local function write_though_full()
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', '-inf')
end

local function keep(ttl)
  redis.call('PEXPIRE', KEYS[1], ttl)
  redis.call('PEXPIRE', KEYS[2], ttl)
end
