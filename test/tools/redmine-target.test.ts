// Redmine's target on a real Redmine, whose own SQLite file says what came of it.

import { afterAll } from 'vitest'
import { targetContract } from '../contracts/target.ts'
import { stopAll } from './background.ts'
import { redmineSubject } from './redmine-subject.ts'

afterAll(stopAll)

targetContract('Redmine', () => redmineSubject())
