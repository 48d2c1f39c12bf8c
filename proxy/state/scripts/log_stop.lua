-- Asks the producer to stop. ARGV: owner. Returns -1 if this owner has no such log, 0 if the log
-- has ended, else 1.
if not belongs_to(ARGV[1]) then
  return -1
end
if redis.call('HEXISTS', KEYS[1], 'ended') == 1 then
  return 0
end
write_though_full()
redis.call('HSET', KEYS[1], 'stop', '1')
return 1
