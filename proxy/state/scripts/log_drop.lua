-- Takes a log away, as if it had never been.
return redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
