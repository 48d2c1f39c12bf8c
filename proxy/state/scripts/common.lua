-- Functions shared by the scripts of the limits. All four keys carry the same hash tag:
-- KEYS[1] state (hash), KEYS[2] leases (sorted set, id by its end), KEYS[3] what each reservation
-- holds (hash), KEYS[4] settled ids (sorted set, by expiry).
-- Times are whole microseconds, money is whole billionths of a dollar: all exact in doubles.
local MINUTE = 60000000
local DAY = 86400000000
local SETTLED_FOR = 600000000
local STATE_TTL_MS = 32 * 86400000
local LEASES_TTL_MS = 86400000
-- Half a microsecond: what a refill by doubles may be off.
local TOLERANCE = 0.5

-- The server's clock, so that machines need not agree; tests bring their own.
local function clock(given)
  if given ~= '' then
    return tonumber(given)
  end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- Days since 1970 to the first day of their month (proleptic Gregorian; eras of 400 years).
local function month_start(days)
  local z = days + 719468
  local doe = z % 146097
  local yoe = math.floor(
    (doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local month = math.floor((5 * doy + 2) / 153)
  return days - (doy - math.floor((153 * month + 2) / 5))
end

-- The calendar period in UTC: its name and when it ends.
local function period_of(kind, now)
  local days = math.floor(now / DAY)
  if kind == 'day' then
    return 'day' .. days, (days + 1) * DAY
  end
  local first = month_start(days)
  return 'month' .. first, month_start(first + 31) * DAY
end

-- Reads the state and refills its debts; spending of a past period is dropped.
local function read_state(now, kind)
  local raw = redis.call('HMGET', KEYS[1], 'at', 'requests', 'tokens', 'period', 'spent', 'held')
  local passed = math.max(0, now - (tonumber(raw[1]) or now))
  local state = {
    requests = math.max(0, (tonumber(raw[2]) or 0) - passed),
    tokens = math.max(0, (tonumber(raw[3]) or 0) - passed),
    period = '', spent = 0, held = 0, ends = 0,
  }
  if kind ~= '' then
    state.period, state.ends = period_of(kind, now)
    if raw[4] == state.period then
      state.spent = tonumber(raw[5]) or 0
      state.held = tonumber(raw[6]) or 0
    end
  end
  return state
end

local function write_state(state, now)
  redis.call('HSET', KEYS[1],
    'at', string.format('%.0f', now),
    'requests', string.format('%.17g', state.requests),
    'tokens', string.format('%.17g', state.tokens),
    'period', state.period,
    'spent', string.format('%.0f', state.spent),
    'held', string.format('%.0f', state.held))
  redis.call('PEXPIRE', KEYS[1], STATE_TTL_MS)
end

-- A reservation as it is kept: requests, tokens, money, when it was made, in which period.
local function put(id, requests, tokens, money, now, period)
  redis.call('HSET', KEYS[3], id, string.format(
    '%d %.0f %.0f %.0f %s', requests, tokens, money, now, period))
end

-- Takes a reservation away, and what it holds of the budget with it. Returns it, or nil.
local function take(id, state)
  local text = redis.call('HGET', KEYS[3], id)
  redis.call('ZREM', KEYS[2], id)
  if not text then
    return nil
  end
  redis.call('HDEL', KEYS[3], id)
  local requests, tokens, money, since, period = string.match(text, '^(%d+) (%d+) (%d+) (%d+) (.*)$')
  local held = {
    requests = tonumber(requests), tokens = tonumber(tokens), money = tonumber(money),
    since = tonumber(since), period = period,
  }
  if period == state.period then
    state.held = math.max(0, state.held - held.money)
  end
  return held
end

-- Drops reservations whose lease has expired: their worker has died.
local function sweep(state, now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now))) do
    take(id, state)
  end
end

local function lease(id, now, ttl)
  redis.call('ZADD', KEYS[2], string.format('%.0f', now + ttl), id)
  redis.call('PEXPIRE', KEYS[2], LEASES_TTL_MS)
  redis.call('PEXPIRE', KEYS[3], LEASES_TTL_MS)
end

-- What is left and when it is fully refilled; -1 without that limit.
local function figures(state, now, rpm, tpm, streams)
  local function left(limit, debt)
    if limit == 0 then
      return -1
    end
    return math.max(0, math.floor((MINUTE - debt + TOLERANCE) * limit / MINUTE))
  end
  return left(rpm, state.requests), math.ceil(state.requests),
    left(tpm, state.tokens), math.ceil(state.tokens),
    streams, state.spent, state.held, state.ends
end
