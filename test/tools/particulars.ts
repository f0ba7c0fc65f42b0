// What the suites of the whole broker and the bench have to know of each real tool.

import { influxdbSubject } from './influxdb-subject.ts'
import { redmineSubject } from './redmine-subject.ts'
import { rtSubject } from './rt-subject.ts'
import type { Particulars } from './tool-stage.ts'

export const PARTICULARS = {
  redmine: {
    called: 'Redmine',
    type: 'redmine',
    rights: ['{place}:Agent-create', '{place}:Agent-read'],
    start: () => redmineSubject(),
    use: { header: 'x-redmine-api-key', prefix: '' },
    open: '/projects/ops.json',
    lie: '{"errors":["Not now"]}',
  },
  rt: {
    called: 'Request Tracker',
    type: 'rt',
    rights: ['scope-{place}-create', 'scope-{place}-read'],
    start: rtSubject,
    use: { header: 'authorization', prefix: 'token ' },
    open: '/REST/2.0/rt',
    lie: '["Permission Denied"]',
  },
  influxdb: {
    called: 'InfluxDB',
    type: 'influxdb',
    rights: ['READ:{place}', 'WRITE:{place}'],
    start: influxdbSubject,
    use: { header: 'authorization', prefix: 'Basic ' },
    open: '/query?q=SHOW+DATABASES',
    lie: '{"results":[{"statement_id":0,"error":"not now"}]}',
  },
} as const satisfies Record<string, Particulars>
