// The whole broker and a real Redmine.

import { redmineSubject } from './redmine-subject.ts'
import { wholeBroker } from './whole-broker.ts'

wholeBroker({
  called: 'Redmine',
  type: 'redmine',
  rights: ['{place}:Agent-create', '{place}:Agent-read'],
  start: () => redmineSubject(),
  use: { header: 'x-redmine-api-key', prefix: '' },
  open: '/projects/ops.json',
  lie: '{"errors":["Not now"]}',
})
