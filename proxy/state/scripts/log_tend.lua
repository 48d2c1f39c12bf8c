-- The producer's look at its logs. KEYS: header, events and readers of each; ARGV: TTL, then for
-- each how many header fields are to be set, and these with their values.
-- Returns for each whether it is there, whether it shall stop, and how many read it.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local ttl, at, said = ARGV[1], 2, {}
for i = 1, #KEYS, 3 do
  local header, last = KEYS[i], at + 2 * tonumber(ARGV[at])
  -- This comes first and needs no memory, so that the rest is taken by a full store, too.
  if redis.call('PEXPIRE', header, ttl) == 0 then
    said[#said + 1] = {0, 0, 0}
  else
    redis.call('PEXPIRE', KEYS[i + 1], ttl)
    if last > at then
      redis.call('HSET', header, unpack(ARGV, at + 1, last))
    end
    said[#said + 1] = {
      1, redis.call('HEXISTS', header, 'stop'), redis.call('ZCOUNT', KEYS[i + 2], now, '+inf'),
    }
  end
  at = last + 1
end
return said
