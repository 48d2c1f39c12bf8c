-- Renews readers' leases. ARGV: lease, readers. Returns whether the log is there.
write_though_full()
local now = now_ms()
for i = 2, #ARGV do
  lease(ARGV[i], tonumber(ARGV[1]), now)
end
return redis.call('EXISTS', KEYS[1])
