-- Renews the TTL of a producer's logs and updates their headers. KEYS: header, events and readers
-- of each log; ARGV: TTL, then for each log the number of header fields to set, and the fields.
-- Returns for each log whether it exists, whether it was asked to stop, and its number of readers.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local ttl, at, results = ARGV[1], 2, {}
for i = 1, #KEYS, 3 do
  local header, last = KEYS[i], at + 2 * tonumber(ARGV[at])
  -- This write needs no memory and comes first, so that a full store accepts the rest, too.
  if redis.call('PEXPIRE', header, ttl) == 0 then
    results[#results + 1] = {0, 0, 0}
  else
    redis.call('PEXPIRE', KEYS[i + 1], ttl)
    if last > at then
      redis.call('HSET', header, unpack(ARGV, at + 1, last))
    end
    results[#results + 1] = {
      1, redis.call('HEXISTS', header, 'stop'), redis.call('ZCOUNT', KEYS[i + 2], now, '+inf'),
    }
  end
  at = last + 1
end
return results
