-- Ends a log: `end` and `tail` after the last event. ARGV: TTL, entry id, end, tail, the id that
-- must be the last (or '' for any); for an end that a reader makes, lengths and bytes of one more
-- event with its id, else three times ''; then header fields with their values. Returns 1; 0 if the log has ended already, -1 if it does not exist, -2
-- if the last id is another.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return -1
end
if redis.call('HEXISTS', KEYS[1], 'ended') == 1 then
  return 0
end
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
if ARGV[5] ~= '' and (not last[1] or last[1][1] ~= ARGV[5]) then
  return -2
end
-- PEXPIRE needs no memory, so that a full store accepts the end, too: see `write_though_full`.
keep(ARGV[1])
if ARGV[8] ~= '' then
  redis.call('XADD', KEYS[2], ARGV[8], 'l', ARGV[6], 'd', ARGV[7])
end
redis.call('XADD', KEYS[2], ARGV[2], 'end', ARGV[3], 'tail', ARGV[4])
redis.call('HSET', KEYS[1], 'ended', ARGV[3], unpack(ARGV, 9))
return 1
