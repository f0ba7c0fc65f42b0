// The whole broker and a real Request Tracker.

import { rtSubject } from './rt-subject.ts'
import { wholeBroker } from './whole-broker.ts'

wholeBroker({
  called: 'Request Tracker',
  type: 'rt',
  rights: ['scope-{place}-create', 'scope-{place}-read'],
  start: rtSubject,
  use: { header: 'authorization', prefix: 'token ' },
  open: '/REST/2.0/rt',
  lie: '["Permission Denied"]',
})
