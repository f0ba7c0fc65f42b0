// Answers the main thread's questions with a writer: one message for a group each way. What follows commits is done once
// their answer is on its way.

import type { MessagePort } from 'node:worker_threads'
import type { Database } from 'better-sqlite3'
import { unpackGroup } from './group-message.ts'
import type { Upkeep } from './upkeep.ts'
import type { Head, Writer } from './writer.ts'
import type { Answer, Question } from './writer-client.ts'

export function serveWriter(port: MessagePort, db: Database, writer: Writer, upkeep: Upkeep): void {
  const answer = (said: Answer) => port.postMessage(said)
  const head = db.prepare<[], Head>('select size, time from head where id = 1')

  port.on('message', (question: Question) => {
    switch (question.type) {
      case 'group': {
        const group = unpackGroup(question.group)
        const result = writer.commitGroup(group)
        answer({ type: 'group', result })
        const last = result.ok ? result.outcomes.findLast((outcome) => outcome.ok) : undefined
        if (last?.ok) upkeep.after(Math.max(group.size, last.last + 1), group.now)
        return
      }
      case 'probe':
        answer({ type: 'probe', error: writer.probe() })
        return
      case 'close':
        port.close()
        db.close()
    }
  })
  upkeep.catchUp(head.get()?.size ?? 0)
  answer({ type: 'ready' })
}
