// A result that is no answer of a tool's yet: a task, or what a client has to come back from. It is sent as it is.

import type { InputRequiredResult } from '@modelcontextprotocol/server'
import type { Task } from './access-tasks.ts'

export class Told {
  readonly result: InputRequiredResult | (Task & { readonly resultType: 'task' })
  constructor(result: Told['result']) {
    this.result = result
  }
}
