-- The queues of the locks that somebody waits for.
with
{waits}
select
    requests.queue,
    requests.place,
    requests.pid,
    requests.mode,
    requests.waitstart,
    now.*
from requests
cross join ({now}) as now
order by requests.queue, requests.place, requests.pid
