-- Checks all limits of a key together and takes a reservation, or nothing at all.
-- ARGV: now or '', id, lease, requests and tokens a minute, streams, budget, period ('' for no
-- budget), tokens and money that are expected. A limit of 0 is none.
-- Returns: 1 or 0, which limit is exceeded, how long to wait, now, and the figures.
local now = clock(ARGV[1])
local id, ttl = ARGV[2], tonumber(ARGV[3])
local rpm, tpm, most = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local budget, kind = tonumber(ARGV[7]), ARGV[8]
local tokens, money = tonumber(ARGV[9]), tonumber(ARGV[10])
local state = read_state(now, kind)
sweep(state, now)
local streams = redis.call('ZCARD', KEYS[2])

-- A retried call whose answer was lost, or one that arrives after its settlement.
local again = redis.call('HEXISTS', KEYS[3], id) == 1 or redis.call('ZSCORE', KEYS[4], id)
local limit, wait = '', 0
local request_cost, token_cost = 0, 0
if rpm > 0 then request_cost = MINUTE / rpm end
if tpm > 0 then token_cost = tokens * MINUTE / tpm end
if not again then
  local function refuse(name, after)
    if limit == '' or after > wait then
      limit, wait = name, after
    end
  end
  if most > 0 and streams >= most then
    refuse('max_streams', 0)
  end
  if rpm > 0 and state.requests + request_cost > MINUTE + TOLERANCE then
    refuse('requests_per_minute', state.requests + request_cost - MINUTE)
  end
  if tpm > 0 then
    -- What is more than a whole minute's worth is let in when the minute is untouched.
    local asked = math.min(math.max(token_cost, MINUTE / tpm), MINUTE)
    if state.tokens + asked > MINUTE + TOLERANCE then
      refuse('tokens_per_minute', state.tokens + asked - MINUTE)
    end
  end
  if budget > 0 then
    local left = budget - state.spent - state.held
    if state.spent >= budget then
      refuse('budget_usd', state.ends - now)
    elseif math.max(money, 1) > left and state.held > 0 then
      -- Requests in flight hold what is left; settling them may free some of it.
      refuse('budget_usd', 1000000)
    end
  end
end
if limit == '' and not again then
  state.requests = state.requests + request_cost
  state.tokens = state.tokens + token_cost
  if kind ~= '' then
    state.held = state.held + money
  else
    money = 0
  end
  put(id, 1, tokens, money, now, state.period)
  lease(id, now, ttl)
  streams = streams + 1
end
write_state(state, now)
return {limit == '' and 1 or 0, limit, math.ceil(wait), now,
  figures(state, now, rpm, tpm, streams)}
