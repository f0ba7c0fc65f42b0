// Request Tracker's target on a real Request Tracker, whose own SQLite file says what came of it.

import { afterAll } from 'vitest'
import { targetContract } from '../contracts/target.ts'
import { stopAll } from './background.ts'
import { rtSubject } from './rt-subject.ts'

afterAll(stopAll)

targetContract('Request Tracker', rtSubject)
