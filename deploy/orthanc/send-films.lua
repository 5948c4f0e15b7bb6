-- Sends every new CR or DX film to the service. Results are of other classes (SR, secondary capture, presentation
-- state), so what the service writes back is never sent to it again.

local films = {
  ['1.2.840.10008.5.1.4.1.1.1'] = true,     -- Computed Radiography Image Storage
  ['1.2.840.10008.5.1.4.1.1.1.1'] = true,   -- Digital X-Ray Image Storage - For Presentation
  ['1.2.840.10008.5.1.4.1.1.1.1.1'] = true  -- Digital X-Ray Image Storage - For Processing
}

function OnStoredInstance(instance, tags, metadata, origin)
  if films[tags['SOPClassUID'] or metadata['SopClassUid']] then
    -- A job of its own, which can be seen and sent again where it fails
    local order = { Resources = { instance }, Synchronous = false, Permissive = false }
    RestApiPost('/modalities/medpatchnet/store', DumpJson(order))
  end
end

-- What could not be sent, since the service was away or had no room, is sent again. Jobs outlive a restart.
function OnHeartBeat()
  for _, job in ipairs(ParseJson(RestApiGet('/jobs?expand'))) do
    if job['Type'] == 'DicomModalityStore' and job['State'] == 'Failure' then
      RestApiPost('/jobs/' .. job['ID'] .. '/resubmit', '')
    end
  end
end
