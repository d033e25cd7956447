// What the tests of debug information look for in C++.
namespace shapes {
class Base {
public:
  int id;
  char shared;
  static int count;
  virtual ~Base() {}
};
struct Second {
  long second;
};
struct Circle : public Base, Second {
  int radius;
  int shared;
  int area(int scale) const { return radius * scale; }
};
} // namespace shapes

struct Plain {
  int a;
  shapes::Second &reference;
};

int take(shapes::Circle &circle, const Plain *plain, int &&moved, shapes::Circle copy) {
  return circle.area(2) + plain->a + moved + copy.id;
}

int main() {
  shapes::Circle circle;
  circle.id = 1;
  Plain plain{1, circle};
  return take(circle, &plain, 3, circle);
}
