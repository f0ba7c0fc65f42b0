// The whole broker and a real InfluxDB.

import { PARTICULARS } from './particulars.ts'
import { wholeBroker } from './whole-broker.ts'

wholeBroker(PARTICULARS.influxdb)
