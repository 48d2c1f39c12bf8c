-- Renews a worker's heartbeat. KEYS[1] the heartbeat; ARGV: TTL. PEXPIRE works on a full store.
if redis.call('PEXPIRE', KEYS[1], ARGV[1]) == 0 then
  redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
end
return 1
