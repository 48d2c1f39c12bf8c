-- Renews leases, and restores those that were lost with a store that restarted empty.
-- ARGV: now or '', lease, period, then for each its id and the money that it holds.
-- Returns how many are alive.
local now = clock(ARGV[1])
local ttl, kind = tonumber(ARGV[2]), ARGV[3]
local state = read_state(now, kind)
local lost = false
for i = 4, #ARGV, 2 do
  local id, money = ARGV[i], tonumber(ARGV[i + 1])
  if not redis.call('ZSCORE', KEYS[4], id) then
    if redis.call('HEXISTS', KEYS[3], id) == 0 then
      lost = true
      if kind == '' then money = 0 end
      put(id, 0, 0, money, now, state.period)
      state.held = state.held + money
    end
    lease(id, now, ttl)
  end
end
if lost then
  write_state(state, now)
end
return redis.call('ZCARD', KEYS[2])
