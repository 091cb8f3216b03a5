// What the S3 service, the SDK and the network say, as StoreErrors: one place, so that one symptom has one meaning.
//
// Must stay true: `retryable` is everything that may pass by itself or was damaged under way; a request that got no
// answer is always `retryable`, because it may have taken effect.
import { StoreError, type StoreErrorKind } from './object-store.ts'

/** The parts of the SDK's errors and of Node's that say what happened. */
interface Failure {
  name?: string
  message?: string
  code?: string
  $metadata?: { httpStatusCode?: number }
}

/** By the service's own error code, where its status alone would mislead. */
const KIND_OF_CODE: Partial<Record<string, StoreErrorKind>> = {
  NoSuchKey: 'not-found',
  NotFound: 'not-found',
  NoSuchBucket: 'no-bucket',
  PreconditionFailed: 'precondition-failed',
  // Two conditional requests met inside the service; neither has been decided by it.
  ConditionalRequestConflict: 'retryable',
  OperationAborted: 'retryable',
  // The body arrived damaged or not whole.
  BadDigest: 'retryable',
  XAmzContentChecksumMismatch: 'retryable',
  XAmzContentSHA256Mismatch: 'retryable',
  InvalidDigest: 'retryable',
  IncompleteBody: 'retryable',
  RequestTimeout: 'retryable',
  // The SDK has noted the server's clock; the next try is signed by it.
  RequestTimeTooSkewed: 'retryable',
  SlowDown: 'retryable',
  InternalError: 'retryable',
  ExpiredToken: 'denied',
  InvalidToken: 'denied',
  CredentialsProviderError: 'denied',
  TokenProviderError: 'denied',
  NotImplemented: 'fatal',
}

function kindOfStatus(status: number): StoreErrorKind {
  if (status === 404) return 'not-found'
  if (status === 412) return 'precondition-failed'
  if (status === 401 || status === 403) return 'denied'
  if (status === 408 || status === 409 || status === 429) return 'retryable'
  return status >= 500 && status !== 501 ? 'retryable' : 'fatal'
}

/** Node's codes for a network that failed: all of them end with the request unanswered. */
const NETWORK_CODE = /^(?:E[A-Z]+|EAI_[A-Z]+|ERR_(?:SOCKET|STREAM|HTTP|SSL|TLS)_.+|HPE_.+)$/

/** Certificates do not become valid by waiting. */
const CERTIFICATE_CODE = /CERT|ERR_TLS_CERT_ALTNAME_INVALID|UNABLE_TO_VERIFY/

function hint(code: string | undefined): string {
  switch (code) {
    case 'PermanentRedirect':
    case 'AuthorizationHeaderMalformed':
    case 'IllegalLocationConstraintException':
      return ' (the bucket lies in another region: give its --region)'
    case 'CredentialsProviderError':
      return ' (set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give --profile or --credentials-file)'
    case 'RequestTimeTooSkewed':
      return ' (set this host’s clock)'
    case 'NoSuchBucket':
      return ' (create it, or check the name)'
    default:
      return ''
  }
}

/** More than an answer that says what is wrong has. */
const ANSWER_BYTES_MAX = 64 * 1024

/** What a service answered in place of a success, as the SDK would throw it: its code is the name. */
export function answeredError(answer: { statusCode: number; reason?: string; body: unknown }): Error {
  const text = (answer.body as Buffer).subarray(0, ANSWER_BYTES_MAX).toString()
  const name = element(text, 'Code') ?? answer.reason ?? ''
  const error = new Error(element(text, 'Message') ?? '')
  return Object.assign(error, { name, $metadata: { httpStatusCode: answer.statusCode } })
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

/** The text of the first element of this name. */
function element(xml: string, name: string): string | undefined {
  const text = new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1]
  return text?.replace(/&(amp|lt|gt|quot|apos);/g, (_, entity: string) => ENTITIES[entity]!)
}

/** The kind of a code that the service gave for one key of a DeleteObjects. */
export function kindOfCode(code: string): StoreErrorKind {
  return KIND_OF_CODE[code] ?? (code === 'AccessDenied' ? 'denied' : 'fatal')
}

/** Maps whatever a request ended with; `what` is the request, e.g. `get root`. */
export function s3Error(
  error: unknown,
  { name, endpoint, what }: { name: string; endpoint: string; what: string },
): unknown {
  if (error instanceof StoreError || !(error instanceof Error)) return error
  const failure = error as Failure
  const status = failure.$metadata?.httpStatusCode
  const fail = (kind: StoreErrorKind, text: string) =>
    new StoreError(kind, `${name}: ${what}: ${text}`, { cause: error })
  if (status !== undefined) {
    const kind = KIND_OF_CODE[failure.name ?? ''] ?? kindOfStatus(status)
    return fail(kind, `${status} ${failure.name}: ${oneLine(failure.message)}${hint(failure.name)}`)
  }
  if (failure.code !== undefined && CERTIFICATE_CODE.test(failure.code))
    return fail('fatal', `${endpoint}: ${oneLine(failure.message)} (NODE_EXTRA_CA_CERTS names a file of trusted ones)`)
  if (failure.code !== undefined && NETWORK_CODE.test(failure.code))
    return fail('retryable', `${endpoint}: ${oneLine(failure.message) || failure.code}`)
  return fail(KIND_OF_CODE[failure.name ?? ''] ?? 'fatal', `${oneLine(failure.message)}${hint(failure.name)}`)
}

function oneLine(text: string | undefined): string {
  return (text ?? '').replace(/\s*\n\s*/g, '; ')
}
