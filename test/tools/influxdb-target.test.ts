// InfluxDB's target on a real InfluxDB. What InfluxDB holds is asked of itself, by its admin, and of the file of its users.

import { afterAll } from 'vitest'
import { targetContract } from '../contracts/target.ts'
import { stopAll } from './background.ts'
import { influxdbSubject } from './influxdb-subject.ts'

afterAll(stopAll)

targetContract('InfluxDB', influxdbSubject)
