def test_deep(kernel):
    print(kernel.run("begin { print(" + "+".join(["1"]*900) + "); }").stream())
def test_nested(kernel):
    print(kernel.run("begin { print(" + "("*0 + "{ "*180 + "1" + " }"*180 + "); }").stream())
def test_chain(kernel):
    for n in (100, 200, 320):
        s="macro m0(x) { x }\n"+"".join(f"macro m{i}(x) {{ m{i-1}(x) + 1 }}\n" for i in range(1,n))+f"begin {{ print(m{n-1}(1)); }}"
        print(n, kernel.run(s).stream(), flush=True)
