/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* zoo: busy */
/* Every register of a thread that spins in assembly: general, x87, SSE, AVX, AVX-512, and their
 * controls. */
#include "zoo.h"

#include <cpuid.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct regs {
	uint64_t gpr[16];    /* rax rbx rcx rdx rsi rdi rbp (rsp) r8..r15 */
	uint8_t vec[32][64]; /* zmm0..31, or as much of them as there is */
	uint64_t mask[8];    /* k0..k7 */
	uint64_t flags;
	uint32_t mxcsr;
	uint16_t x87_control;
	uint16_t pad;
	uint8_t x87[8][16]; /* 10 bytes used */
};

/* The spinning code finds these through rip: it has no register left over. */
static struct regs want __attribute__((aligned(64), used));
static struct regs got __attribute__((aligned(64), used));
volatile int spin_go __attribute__((used));
volatile int spin_at __attribute__((used));
int spin_level __attribute__((used)); /* 0: SSE, 1: AVX, 2: AVX-512 */

void spin(void);

#define EACH8(X)  X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define EACH16(X) EACH8(X) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define EACH32(X)                                                                                  \
	EACH16(X)                                                                                  \
	X(16)                                                                                      \
	X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)
#define VEC	128
#define MASK	(VEC + 32 * 64)
#define FLAGS	(MASK + 64)
#define MXCSR	(FLAGS + 8)
#define X87CW	(MXCSR + 4)
#define X87	(X87CW + 4)
#define STR2(x) #x
#define STR(x)	STR2(x)

#define LOAD_XMM(n) "movups want+" STR(VEC) "+64*" #n "(%rip), %xmm" #n "\n"
#define SAVE_XMM(n) "movups %xmm" #n ", got+" STR(VEC) "+64*" #n "(%rip)\n"
#define LOAD_YMM(n) "vmovups want+" STR(VEC) "+64*" #n "(%rip), %ymm" #n "\n"
#define SAVE_YMM(n) "vmovups %ymm" #n ", got+" STR(VEC) "+64*" #n "(%rip)\n"
#define LOAD_ZMM(n) "vmovups want+" STR(VEC) "+64*" #n "(%rip), %zmm" #n "\n"
#define SAVE_ZMM(n) "vmovups %zmm" #n ", got+" STR(VEC) "+64*" #n "(%rip)\n"
#define LOAD_K(n)   "kmovq want+" STR(MASK) "+8*" #n "(%rip), %k" #n "\n"
#define SAVE_K(n)   "kmovq %k" #n ", got+" STR(MASK) "+8*" #n "(%rip)\n"
#define LOAD_X87(n) "fldt want+" STR(X87) "+16*" #n "(%rip)\n"
#define SAVE_X87(n) "fstpt got+" STR(X87) "+16*" #n "(%rip)\n"

/* clang-format off */
__asm__(".text\n.globl spin\n.type spin,@function\nspin:\n"
	"push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
	"sub $24, %rsp\n stmxcsr (%rsp)\n fnstcw 8(%rsp)\n"
	"fninit\n" EACH8(LOAD_X87)
	"fldcw want+" STR(X87CW) "(%rip)\n"
	"ldmxcsr want+" STR(MXCSR) "(%rip)\n"
	"cmpl $1, spin_level(%rip)\n"
	"je 1f\n"
	"ja 2f\n"
	EACH16(LOAD_XMM)
	"jmp 3f\n"
	"1:" EACH16(LOAD_YMM)
	"jmp 3f\n"
	"2:" EACH32(LOAD_ZMM) EACH8(LOAD_K)
	"3:\n"
	"movq want+0(%rip), %rax\n movq want+8(%rip), %rbx\n movq want+16(%rip), %rcx\n"
	"movq want+24(%rip), %rdx\n movq want+32(%rip), %rsi\n movq want+40(%rip), %rdi\n"
	"movq want+48(%rip), %rbp\n movq want+64(%rip), %r8\n movq want+72(%rip), %r9\n"
	"movq want+80(%rip), %r10\n movq want+88(%rip), %r11\n movq want+96(%rip), %r12\n"
	"movq want+104(%rip), %r13\n movq want+112(%rip), %r14\n movq want+120(%rip), %r15\n"
	"movq %rsp, want+56(%rip)\n std\n"
	"movl $1, spin_at(%rip)\n"
	/* The only instructions that run while all is in place. */
	"4: pause\n cmpl $0, spin_go(%rip)\n je 4b\n"
	"movq %rax, got+0(%rip)\n"
	"pushfq\n popq %rax\n movq %rax, got+" STR(FLAGS) "(%rip)\n"
	"movq %rbx, got+8(%rip)\n movq %rcx, got+16(%rip)\n"
	"movq %rdx, got+24(%rip)\n movq %rsi, got+32(%rip)\n movq %rdi, got+40(%rip)\n"
	"movq %rbp, got+48(%rip)\n movq %rsp, got+56(%rip)\n movq %r8, got+64(%rip)\n"
	"movq %r9, got+72(%rip)\n movq %r10, got+80(%rip)\n movq %r11, got+88(%rip)\n"
	"movq %r12, got+96(%rip)\n movq %r13, got+104(%rip)\n movq %r14, got+112(%rip)\n"
	"movq %r15, got+120(%rip)\n"
	"stmxcsr got+" STR(MXCSR) "(%rip)\n"
	"fnstcw got+" STR(X87CW) "(%rip)\n"
	"cmpl $1, spin_level(%rip)\n"
	"je 5f\n"
	"ja 6f\n"
	EACH16(SAVE_XMM)
	"jmp 7f\n"
	"5:" EACH16(SAVE_YMM)
	"jmp 7f\n"
	"6:" EACH32(SAVE_ZMM) EACH8(SAVE_K)
	"7:\n"
	EACH8(SAVE_X87) /* the last one loaded is on top */
	"cld\n fninit\n"
	"ldmxcsr (%rsp)\n fldcw 8(%rsp)\n add $24, %rsp\n"
	"pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n"
	"ret\n.size spin,.-spin\n");
/* clang-format on */

_Static_assert(offsetof(struct regs, vec) == VEC && offsetof(struct regs, mask) == MASK &&
		       offsetof(struct regs, flags) == FLAGS &&
		       offsetof(struct regs, mxcsr) == MXCSR &&
		       offsetof(struct regs, x87_control) == X87CW &&
		       offsetof(struct regs, x87) == X87,
	       "the assembly has its own idea of the layout");

static int vector_level(void)
{
	unsigned int a, b, c, d, xcr0;

	__cpuid(1, a, b, c, d);
	if (!(c & bit_OSXSAVE) || !(c & bit_AVX))
		return 0;
	__asm__("xgetbv" : "=a"(xcr0), "=d"(d) : "c"(0));
	if ((xcr0 & 6) != 6)
		return 0;
	__cpuid_count(7, 0, a, b, c, d);
	return (xcr0 & 0xe6) == 0xe6 && (b & bit_AVX512F) && (b & bit_AVX512BW) ? 2 : 1;
}

static void *spinner(void *arg)
{
	spin();
	return arg;
}

int main(void)
{
	static const int width[] = { 16, 32, 64 }, count[] = { 16, 16, 32 };
	pthread_t thread;

	zoo_start();
	spin_level = vector_level();
	zoo_log("note: vectors of %d bytes", width[spin_level]);
	zoo_fill(want.gpr, sizeof(want.gpr), 1);
	zoo_fill(want.vec, sizeof(want.vec), 2);
	zoo_fill(want.mask, sizeof(want.mask), 3);
	want.mxcsr = 0x7fa5;	   /* round to zero, flush, some sticky flags; exceptions masked */
	want.x87_control = 0x0e7f; /* double precision, round to zero; exceptions masked */
	for (int i = 0; i < 8; i++) {
		long double v = 1.1L * (i + 3);

		memcpy(want.x87[i], &v, 10);
	}
	zoo_need(pthread_create(&thread, NULL, spinner, NULL) == 0);
	while (!spin_at)
		zoo_sleep_ms(1);
	zoo_ready();
	zoo_wait();
	spin_go = 1;
	zoo_need(pthread_join(thread, NULL) == 0);

	for (int i = 0; i < 16; i++)
		zoo_check(got.gpr[i] == want.gpr[i], "register %d is %#llx, was %#llx", i,
			  (unsigned long long)got.gpr[i], (unsigned long long)want.gpr[i]);
	for (int i = 0; i < count[spin_level]; i++)
		zoo_check(!memcmp(got.vec[i], want.vec[i], (size_t)width[spin_level]), "vector %d",
			  i);
	if (spin_level == 2)
		for (int i = 0; i < 8; i++)
			zoo_check(got.mask[i] == want.mask[i], "mask %d", i);
	zoo_same(got.mxcsr, want.mxcsr);
	zoo_same(got.x87_control, want.x87_control);
	for (int i = 0; i < 8; i++)
		zoo_check(!memcmp(got.x87[i], want.x87[7 - i], 10), "x87 register %d", i);
	/* The direction flag is set while it spins. */
	zoo_check(got.flags & 0x400, "flags %#llx", (unsigned long long)got.flags);
	return zoo_end();
}
