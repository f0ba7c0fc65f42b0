// Redmine's target on a real Redmine.

import { afterAll } from 'vitest'
import { redmineTarget } from '../../src/adapters/targets/redmine.ts'
import { targetContract } from '../contracts/target.ts'
import { stopAll } from './background.ts'
import { startRedmineSubject } from './redmine-subject.ts'

afterAll(stopAll)

targetContract('Redmine', () => startRedmineSubject(redmineTarget))
