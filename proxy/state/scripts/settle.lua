-- Replaces the reserved usage by the actual usage. Idempotent.
-- ARGV: now or '', id, requests and tokens a minute, period, requests, tokens and money used.
-- Returns: 1, or 0 if it was settled before.
local now = clock(ARGV[1])
local id = ARGV[2]
local rpm, tpm, kind = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local requests, tokens, money = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', string.format('%.0f', now))
if redis.call('ZADD', KEYS[4], 'NX', string.format('%.0f', now + SETTLED_FOR), id) == 0 then
  return 0
end
redis.call('PEXPIRE', KEYS[4], math.floor(SETTLED_FOR / 500))
local state = read_state(now, kind)
sweep(state, now)
local held = take(id, state)
local belongs = not held or held.period == state.period
held = held or {requests = 0, tokens = 0, since = now}

-- What was reserved too much goes back, but not what time has refilled meanwhile: that would be a
-- second burst.
local function charge(debt, limit, used, reserved)
  if limit == 0 then
    return debt
  end
  local cost = (used - reserved) * MINUTE / limit
  if cost < 0 then
    cost = math.min(0, cost + math.max(0, now - held.since))
  end
  -- Whatever an upstream claims, a key is free again after a day.
  return math.min(math.max(0, debt + cost), DAY)
end
state.requests = charge(state.requests, rpm, requests, held.requests)
state.tokens = charge(state.tokens, tpm, tokens, held.tokens)
-- Usage of a past period is not counted in this one.
if kind ~= '' and belongs then
  state.spent = state.spent + money
end
write_state(state, now)
return 1
