-- Adds one batch each to many logs. KEYS: their events. ARGV: as JSON, for each log the number of
-- the batch's last event, the number of the first batch to keep (0: all) and the lengths of the
-- batch's events; then the bytes of all batches, one after the other.
-- Returns the refused ones with the error, which is empty if there is no such log.
local batches, refused, at = cjson.decode(ARGV[1]), {}, 1
for i, key in ipairs(KEYS) do
  local last, keep, lengths = unpack(batches[i])
  local id, size = string.format('%.0f-0', last), 0
  for _, length in ipairs(lengths) do
    size = size + length
  end
  local joined, data = table.concat(lengths, ','), string.sub(ARGV[2], at, at + size - 1)
  at = at + size
  local added
  -- Without NOMKSTREAM a log that the store has lost would start again in the middle.
  if keep == 0 then
    added = redis.pcall('XADD', key, 'NOMKSTREAM', id, 'l', joined, 'd', data)
  else
    local first = string.format('%.0f-0', keep)
    added = redis.pcall(
      'XADD', key, 'NOMKSTREAM', 'MINID', '=', first, id, 'l', joined, 'd', data)
  end
  if type(added) == 'table' and added.err then
    refused[#refused + 1] = {i, added.err}
  elseif not added then
    refused[#refused + 1] = {i, ''}
  end
end
return refused
