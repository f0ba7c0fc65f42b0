// The whole broker and a real InfluxDB.

import { influxdbSubject } from './influxdb-subject.ts'
import { wholeBroker } from './whole-broker.ts'

wholeBroker({
  called: 'InfluxDB',
  type: 'influxdb',
  rights: ['READ:{place}', 'WRITE:{place}'],
  start: influxdbSubject,
  use: { header: 'authorization', prefix: 'Basic ' },
  open: '/query?q=SHOW+DATABASES',
  lie: '{"results":[{"statement_id":0,"error":"not now"}]}',
})
