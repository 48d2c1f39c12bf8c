-- What a key has used and has left; changes nothing.
-- ARGV: now or '', requests and tokens a minute, period.
local now = clock(ARGV[1])
local rpm, tpm, kind = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local state = read_state(now, kind)
local streams = redis.call('ZCOUNT', KEYS[2], string.format('(%.0f', now), '+inf')
return {1, '', 0, now, figures(state, now, rpm, tpm, streams)}
