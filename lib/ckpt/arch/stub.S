/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The stub: runs an array of system calls in a task that restore is building. Position-independent, needs no
 * stack, no relocation and no data of its own.
 *
 *   r15  the next operation (struct remote_op: u32 nr, u32 flags, u64 args[6], s64 ret)
 *   r14  end of the array
 *
 * Ends at the trap when the array is done, or after an operation without REMOTE_MAY_FAIL failed (r15 then points
 * behind it).
 */
	.section .rodata.ckpt_stub, "a", @progbits
	.globl	ckpt_stub_start
	.globl	ckpt_stub_end
	.hidden	ckpt_stub_start
	.hidden	ckpt_stub_end
	.balign	16
ckpt_stub_start:
1:	cmpq	%r14, %r15
	jae	2f
	movl	(%r15), %eax
	movq	8(%r15), %rdi
	movq	16(%r15), %rsi
	movq	24(%r15), %rdx
	movq	32(%r15), %r10
	movq	40(%r15), %r8
	movq	48(%r15), %r9
	syscall
	movq	%rax, 56(%r15)
	movl	4(%r15), %ecx
	addq	$64, %r15
	cmpq	$-4095, %rax
	jb	1b
	testl	$1, %ecx
	jnz	1b
2:	int3
	jmp	1b
ckpt_stub_end:
	.section .note.GNU-stack, "", @progbits
