-- Renews readers' leases. KEYS: header, events and readers of each log; ARGV: lease, then for each
-- log how many readers, and these. Returns for each log whether it is there.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local lasts, at, said = tonumber(ARGV[1]), 2, {}
for i = 1, #KEYS, 3 do
  local readers, last = KEYS[i + 2], at + tonumber(ARGV[at])
  -- What needs no memory comes first, so that the rest is taken by a full store, too.
  redis.call('ZREMRANGEBYSCORE', readers, '-inf', '-inf')
  for n = at + 1, last do
    redis.call('ZADD', readers, now + lasts, ARGV[n])
  end
  redis.call('PEXPIRE', readers, 4 * lasts)
  said[#said + 1] = redis.call('EXISTS', KEYS[i])
  at = last + 1
end
return said
