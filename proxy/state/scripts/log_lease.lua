-- Renews readers' leases. KEYS: header, events and readers of each log; ARGV: lease, then for each
-- log the number of readers, and the readers. Returns for each log whether it exists.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local ttl, at, results = tonumber(ARGV[1]), 2, {}
for i = 1, #KEYS, 3 do
  local readers, last = KEYS[i + 2], at + tonumber(ARGV[at])
  -- A write that needs no memory comes first, so that a full store accepts the rest, too.
  redis.call('ZREMRANGEBYSCORE', readers, '-inf', '-inf')
  for n = at + 1, last do
    redis.call('ZADD', readers, now + ttl, ARGV[n])
  end
  redis.call('PEXPIRE', readers, 4 * ttl)
  results[#results + 1] = redis.call('EXISTS', KEYS[i])
  at = last + 1
end
return results
