-- Adds one batch each to many logs. KEYS: their events; ARGV for each: what to drop before (the
-- first id to keep, or ''), the batch's id, the lengths of its events, their bytes.
-- Returns for each 1, 0 where there is no such log, or the error.
local said = {}
for i, key in ipairs(KEYS) do
  local keep, id, lengths, data = unpack(ARGV, 4 * i - 3, 4 * i)
  local made
  -- Without NOMKSTREAM a log that the store has lost would begin anew in the middle.
  if keep == '' then
    made = redis.pcall('XADD', key, 'NOMKSTREAM', id, 'l', lengths, 'd', data)
  else
    made = redis.pcall('XADD', key, 'NOMKSTREAM', 'MINID', '=', keep, id, 'l', lengths, 'd', data)
  end
  if type(made) == 'table' and made.err then
    said[i] = made.err
  else
    said[i] = made and 1 or 0
  end
end
return said
