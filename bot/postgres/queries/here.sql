-- Where the bot is, and as whom, if the catalogs can't be read.
select now.*, own.*
from ({now}) as now, ({own}) as own
