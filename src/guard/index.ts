// hallpass/guard: what a tool's author adds to verify Hallpass credentials. Imports jose, and nothing of the broker's.
export { type Details, type GuardAccess, permits } from './access.ts'
export type { AuthorizationSource } from './bearer.ts'
export {
  createGuard,
  type Guard,
  type GuardLogger,
  type GuardOptions,
  type GuardResult,
  type Need,
} from './create-guard.ts'
export { type GuardVariables, guardFetch, type HonoNeed, honoGuard } from './middleware.ts'
export { type Refusal, type RefusalCode, refusalResponse } from './refusal.ts'
