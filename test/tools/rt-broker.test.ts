// The whole broker and a real Request Tracker.

import { PARTICULARS } from './particulars.ts'
import { wholeBroker } from './whole-broker.ts'

wholeBroker(PARTICULARS.rt)
