import { UsageError } from './demo/demo.ts';
export async function benchCommand(_args: string[]): Promise<number> {
  throw new UsageError('bench');
}
