-- Adds one batch each to many logs. KEYS: their events; ARGV for each: what to drop before (the
-- first id to keep, or ''), the batch's id, the lengths of its events, their bytes.
-- Returns for each 1, 0 if there is no such log, or the error.
local results = {}
for i, key in ipairs(KEYS) do
  local keep, id, lengths, data = unpack(ARGV, 4 * i - 3, 4 * i)
  local added
  -- Without NOMKSTREAM a log that the store has lost would start again in the middle.
  if keep == '' then
    added = redis.pcall('XADD', key, 'NOMKSTREAM', id, 'l', lengths, 'd', data)
  else
    added = redis.pcall('XADD', key, 'NOMKSTREAM', 'MINID', '=', keep, id, 'l', lengths, 'd', data)
  end
  if type(added) == 'table' and added.err then
    results[i] = added.err
  else
    results[i] = added and 1 or 0
  end
end
return results
