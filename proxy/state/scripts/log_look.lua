-- Looks a log up, and takes a reader's lease. ARGV: owner, reader (or '' for none), its lease, the
-- maximum of readers. Returns nothing if this owner has no such log; 'full' if it has its maximum
-- of readers; else the header, the first two entries, the last, and the number of readers.
if not belongs_to(ARGV[1]) then
  return {}
end
if ARGV[2] ~= '' then
  local now = now_ms()
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
  if not redis.call('ZSCORE', KEYS[3], ARGV[2])
    and redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[4]) then
    return {'full'}
  end
  lease(ARGV[2], tonumber(ARGV[3]), now)
end
local first, last = first_and_last()
return {
  'ok', redis.call('HGETALL', KEYS[1]), first, last,
  redis.call('ZCOUNT', KEYS[3], now_ms(), '+inf'),
}
