// The whole broker and a real Redmine.

import { PARTICULARS } from './particulars.ts'
import { wholeBroker } from './whole-broker.ts'

wholeBroker(PARTICULARS.redmine)
