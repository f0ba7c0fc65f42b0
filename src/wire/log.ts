// The process log: structured, to stderr, and blind to secrets.

import pino from 'pino'
import type { Log } from '../actions/ports.ts'
import { currentTraceId } from '../actions/tracing.ts'

const SECRET_PATHS = [
  'token',
  'authorization',
  'secret',
  'password',
  'client_assertion',
  'subject_token',
  'access_token',
  '*.token',
  '*.authorization',
  '*.secret',
  '*.password',
  '*.access_token',
  'headers.authorization',
  'headers["x-hallpass-verifier"]',
]

export function createLog(level: string): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      mixin() {
        const traceId = currentTraceId()
        return traceId === null ? {} : { traceId }
      },
      redact: { paths: SECRET_PATHS, censor: '[secret]' },
    },
    pino.destination({ fd: 2, sync: true }),
  )
}
